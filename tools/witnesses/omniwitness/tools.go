//go:build tools

// Package tools keeps omniwitness among the requirements of this module.
package tools

import _ "github.com/transparency-dev/witness/cmd/omniwitness"
