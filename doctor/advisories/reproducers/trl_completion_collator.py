"""from trl import DataCollatorForCompletionOnlyLM."""

from _verdict import raises


def imported():
    from trl import DataCollatorForCompletionOnlyLM

    return DataCollatorForCompletionOnlyLM.__name__


raises(imported, "cannot import name 'DataCollatorForCompletionOnlyLM' from 'trl'")
