"""A small model with code of its own and the traits of ChatGLM-6B, for tests: everything that made that one hard.

AutoModel alone is registered. Weights are made in fp16 whatever is asked for. Mask (4-D, True where hidden) and
positions (two rows: place in the question, place in the answer) are counted out of [gMASK] and <sop> in the input ids.
Attention is one fused layer, `query_key_value`. The tokenizer is a class of its own, without a chat template, that
puts [gMASK] <sop> behind what it encodes, and pads on the left.
"""

import torch
from torch import nn
from torch.nn import functional
from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizer
from transformers.modeling_outputs import CausalLMOutputWithPast

SPECIAL = ["<pad>", "<unk>", "[MASK]", "[gMASK]", "<sop>", "<eop>"]


class MiniConfig(PretrainedConfig):
    model_type = "mini_glm"

    def __init__(self, hidden_size=64, num_layers=2, num_attention_heads=4, vocab_size=512, **others):
        self.hidden_size, self.num_layers = hidden_size, num_layers
        self.num_attention_heads, self.vocab_size = num_attention_heads, vocab_size
        self.mask_token_id, self.gmask_token_id = (
            others.pop("mask_token_id", 2),
            others.pop("gmask_token_id", 3),
        )
        super().__init__(
            pad_token_id=others.pop("pad_token_id", 0),
            bos_token_id=others.pop("bos_token_id", 4),
            eos_token_id=others.pop("eos_token_id", 5),
            **others,
        )


def turned(states, places):
    """Rotary positions: states (rows, heads, length, size), places (rows, length)."""
    half = states.shape[-1] // 2
    speeds = 10000.0 ** (-torch.arange(half, device=states.device) / half)
    angles = (places[:, None, :, None] * speeds).to(states.dtype)
    first, second = states[..., :half], states[..., half:]
    return torch.cat(
        [
            first * angles.cos() - second * angles.sin(),
            second * angles.cos() + first * angles.sin(),
        ],
        dim=-1,
    )


class Block(nn.Module):
    def __init__(self, config):
        super().__init__()
        size = config.hidden_size
        self.heads = config.num_attention_heads
        self.before, self.after = nn.LayerNorm(size, dtype=torch.half), nn.LayerNorm(size, dtype=torch.half)
        self.query_key_value = nn.Linear(size, 3 * size, dtype=torch.half)
        self.dense = nn.Linear(size, size, dtype=torch.half)
        self.dense_h_to_4h = nn.Linear(size, 4 * size, dtype=torch.half)
        self.dense_4h_to_h = nn.Linear(4 * size, size, dtype=torch.half)

    def forward(self, states, places, hidden):
        rows, length, size = states.shape
        fused = self.query_key_value(self.before(states)).view(rows, length, self.heads, -1).transpose(1, 2)
        query, key, value = fused.chunk(3, dim=-1)
        query, key = (
            torch.cat([turned(half, places[:, n]) for n, half in enumerate(each.chunk(2, dim=-1))], dim=-1)
            for each in (query, key)
        )
        scores = (query @ key.transpose(-1, -2)) / query.shape[-1] ** 0.5
        seen = scores.float().masked_fill(hidden, -10000.0).softmax(-1).to(value.dtype) @ value
        states = states + self.dense(seen.transpose(1, 2).reshape(rows, length, size))
        return states + self.dense_4h_to_h(functional.gelu(self.dense_h_to_4h(self.after(states))))


class MiniPreTrainedModel(PreTrainedModel):
    config_class = MiniConfig
    base_model_prefix = "transformer"
    supports_gradient_checkpointing = True

    def _init_weights(self, module):
        """The weights are stored beside this file."""

    def _set_gradient_checkpointing(self, module, value=False):
        if isinstance(module, MiniTransformer):
            module.gradient_checkpointing = value

    def get_masks(self, input_ids, device):
        """(rows, 1, length, length), True where nothing is seen."""
        length = input_ids.shape[1]
        hidden = torch.ones((len(input_ids), length, length), dtype=torch.bool, device=device).triu(1)
        for row, ids in enumerate(input_ids.tolist()):
            hidden[row, :, : ids.index(self.config.bos_token_id)] = False
        return hidden[:, None]

    def get_position_ids(self, input_ids, device):
        """(rows, 2, length): the place in the question, which the answer keeps at [gMASK]; the place in the answer."""
        places = torch.zeros((len(input_ids), 2, input_ids.shape[1]), dtype=torch.long, device=device)
        for row, ids in enumerate(input_ids.tolist()):
            start, mark = ids.index(self.config.bos_token_id), ids.index(self.config.gmask_token_id)
            places[row, 0] = torch.arange(len(ids)).clamp(max=start)
            places[row, 0, start:] = mark
            places[row, 1, start:] = torch.arange(1, len(ids) - start + 1)
        return places


class MiniTransformer(MiniPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size, dtype=torch.half)
        self.layers = nn.ModuleList([Block(config) for _ in range(config.num_layers)])
        self.final_layernorm = nn.LayerNorm(config.hidden_size, dtype=torch.half)
        self.gradient_checkpointing = False
        self.post_init()

    def get_input_embeddings(self):
        return self.word_embeddings

    def forward(self, input_ids=None, position_ids=None, attention_mask=None, inputs_embeds=None):
        states = self.word_embeddings(input_ids) if inputs_embeds is None else inputs_embeds
        if attention_mask is None:
            attention_mask = self.get_masks(input_ids, input_ids.device)
        if attention_mask.dtype != torch.bool or attention_mask.dim() != 4:
            raise ValueError("the mask must be 4-D and bool")
        if position_ids is None:
            position_ids = self.get_position_ids(input_ids, input_ids.device)
        for layer in self.layers:
            if self.gradient_checkpointing and self.training:
                states = torch.utils.checkpoint.checkpoint(
                    layer, states, position_ids, attention_mask, use_reentrant=True
                )
            else:
                states = layer(states, position_ids, attention_mask)
        return self.final_layernorm(states)


class MiniForConditionalGeneration(MiniPreTrainedModel):
    def __init__(self, config):
        super().__init__(config)
        self.transformer = MiniTransformer(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False, dtype=torch.half)
        self.post_init()

    def get_output_embeddings(self):
        return self.lm_head

    def prepare_inputs_for_generation(self, input_ids, **others):
        return {"input_ids": input_ids}

    def forward(
        self,
        input_ids=None,
        attention_mask=None,
        position_ids=None,
        inputs_embeds=None,
        labels=None,
        **others,
    ):
        states = self.transformer(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
        )
        return CausalLMOutputWithPast(logits=self.lm_head(states))


class MiniTokenizer(PreTrainedTokenizer):
    """One token a character below 512."""

    vocab_files_names = {}  # noqa: RUF012
    model_input_names = ["input_ids", "attention_mask"]  # noqa: RUF012

    def __init__(self, gmask_token="[gMASK]", padding_side="left", **others):
        self.gmask_token = gmask_token
        named = {"pad_token": "<pad>", "unk_token": "<unk>", "bos_token": "<sop>", "eos_token": "<eop>"}
        super().__init__(padding_side=padding_side, **{**named, **others})

    @property
    def gmask_token_id(self):
        return SPECIAL.index(self.gmask_token)

    @property
    def vocab_size(self):
        return 512

    def get_vocab(self):
        return {self._convert_id_to_token(n): n for n in range(self.vocab_size)}

    def _tokenize(self, text, **others):
        return list(text)

    def _convert_token_to_id(self, token):
        return SPECIAL.index(token) if token in SPECIAL else min(ord(token), 505) + len(SPECIAL)

    def _convert_id_to_token(self, number):
        return SPECIAL[number] if number < len(SPECIAL) else chr(number - len(SPECIAL))

    def save_vocabulary(self, save_directory, filename_prefix=None):
        return ()

    def build_inputs_with_special_tokens(self, token_ids_0, token_ids_1=None):
        return [*token_ids_0, self.gmask_token_id, self.bos_token_id, *(token_ids_1 or [])]
