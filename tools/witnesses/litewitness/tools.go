//go:build tools

// Package tools keeps litewitness and its command among the requirements of this module.
package tools

import (
	_ "filippo.io/torchwood/cmd/litewitness"
	_ "filippo.io/torchwood/cmd/witnessctl"
)
