"""The order of a ranked feed, from what is known of its posts: no clock and no I/O."""
