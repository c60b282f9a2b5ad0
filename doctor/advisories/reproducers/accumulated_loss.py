"""The loss that is logged with and without gradient accumulation, for a model whose loss ignores num_items_in_batch."""

from _small import llama, trainer
from _verdict import finish


def main():
    import torch

    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = llama()

        def forward(self, input_ids=None, labels=None, **kwargs):
            return {"loss": self.inner(input_ids=input_ids, labels=labels).loss}

    def logged(steps):
        torch.manual_seed(0)
        run = trainer(
            Own(), max_steps=1, save_steps=500, gradient_accumulation_steps=steps, learning_rate=0.0
        )
        run.train()
        return next(row["loss"] for row in run.state.log_history if "loss" in row)

    one, four = logged(1), logged(4)
    finish(four > 2 * one, f"loss {one:.2f} with 1 step of accumulation, {four:.2f} with 4")


main()
