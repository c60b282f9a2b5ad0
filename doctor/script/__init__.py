"""A user's training script, looked at by its syntax tree: never imported, never run.

`reader` makes text and a tree of a .py or .ipynb file, `code` answers questions about the tree (what does this name
stand for, is this line guarded), each theme has a file of checks that yield what they saw, and `judgement` says with
the installed versions which of that is a fault. `repair` edits the text where that is safe.

The names of the checks. An advisory of kind `script` asks for one as the condition `script:NAME`; that it was *seen*
says nothing of versions, which the advisory's own conditions add.

removed-import            a name that some release of transformers, peft, trl, accelerate, datasets, huggingface_hub or
                          torch does not have
unknown-argument          an argument of TrainingArguments, Trainer, SFTTrainer, LoraConfig, ... that some release lacks
loading-argument          from_pretrained(load_in_8bit=, load_in_4bit=, use_auth_token=, dtype=)
renamed-argument          from_pretrained(torch_dtype=), which newer releases call dtype
compute-loss-signature    an override of Trainer.compute_loss that does not take num_items_in_batch
state-dict-override       model.state_dict = (...) with get_peft_model_state_dict
save-model-override       a Trainer that saves the parameters with requires_grad by their own names as an adapter
checkpointing-after-wrap  gradient_checkpointing_enable() after get_peft_model, without enable_input_require_grads()
pad-is-eos                pad_token = eos_token with DataCollatorForLanguageModeling(mlm=False)
half-with-fp16            a model in half precision trained with fp16=True
device-map-under-ddp      device_map="auto" in a script that reads LOCAL_RANK or starts a process group
adapter-not-trainable     PeftModel.from_pretrained without is_trainable=True, and then trained
merge-quantized           merge_and_unload() of an adapter whose base was loaded in 8 or 4 bit
variable-too-late         HF_ENDPOINT, HF_HOME, ... set after the import that reads them, or after CUDA started
torch-load-object         torch.load of a whole object (a model, TrainingArguments) without weights_only
torch-load-unguarded      torch.load of weights without weights_only
remote-code-unpinned      trust_remote_code=True for a model of the hub without revision
target-modules            LoRA target modules that the named base model does not have
single-target             LoraConfig with a single target module
cuda-before-fork          CUDA in a Dataset with DataLoader workers
contradicting-arguments   TrainingArguments that cannot hold together
labels-missing            a causal model trained with Trainer on data without labels
labels-not-masked         labels that are a copy of padded input_ids
missing-package           a package that is imported or asked for and may not be installed
chat-template-return      apply_chat_template used as a tensor or a list, where newer releases return a dict
resume-override           resume_from_checkpoint with a save_model that writes no whole adapter
"""

__all__: "list[str]" = []
