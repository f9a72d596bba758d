//go:build tools

// Package tools pins Helm, which renders the chart.
package tools

import _ "helm.sh/helm/v3/cmd/helm"
