"""The usual seven target names on a tiny Qwen3-MoE: do its experts get a LoRA?"""

from _verdict import finish


def main():
    from peft import LoraConfig, get_peft_model
    from transformers import Qwen3MoeConfig, Qwen3MoeForCausalLM

    config = Qwen3MoeConfig(
        vocab_size=64,
        hidden_size=16,
        intermediate_size=32,
        moe_intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        head_dim=8,
        num_experts=4,
        num_experts_per_tok=2,
    )
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    model = get_peft_model(Qwen3MoeForCausalLM(config), LoraConfig(r=2, target_modules=names))
    adapted = [name for name, _ in model.named_parameters() if "lora_A" in name]
    experts = [name for name in adapted if "experts" in name]
    finish(not experts, f"{len(adapted)} layers with a LoRA, {len(experts)} of them in experts")


main()
