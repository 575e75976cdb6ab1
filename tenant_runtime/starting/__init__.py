"""How every run begins, whichever door it is asked for at: checked, made once, handed to the executor."""
