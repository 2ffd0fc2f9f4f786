"""Use cases, one public function per verb, in the transaction of whoever performs them."""
