"""Parts of a Hub that more than one mode is made of.

Classes of the SDK are imported by name (``from pulumi_aws.kms import Key``): its packages are
lazy, and so they are loaded with the module, while the engine starts, instead of when the program
registers its first resource. A module imports only what it registers: ``ec2`` and ``s3`` take
seconds, and a slice needs neither.
"""
