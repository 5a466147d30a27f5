"""Register lists of other programs, one format a file; `lists` recognises them."""
