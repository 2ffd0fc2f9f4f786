"""Use cases, one public function per verb, in the transaction of the caller that performs them."""
