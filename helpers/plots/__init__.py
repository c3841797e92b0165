"""Pure draw functions, one file per subject: data in, ``Figure`` out; lessons, controls and tests share them."""
