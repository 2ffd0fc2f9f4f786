"""Use cases, one public function per verb; the only place that commits besides workflow steps."""
