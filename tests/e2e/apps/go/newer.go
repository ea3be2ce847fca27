//go:build go1.25

// What came to the Go SDK after the last release for older Gos.
package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/getsentry/sentry-go"
	"github.com/getsentry/sentry-go/attribute"
)

func joined() {
	initialise(nil)
	sentry.CaptureException(errors.Join(errors.New("one"), fmt.Errorf("two: %w", charge(2))))
	flush()
}

func logsPart() {
	initialise(nil)
	ctx := context.Background()
	logger := sentry.NewLogger(ctx)
	logger.SetAttributes(attribute.String("region", "eu"))
	logger.Info().String("plan", "pro").Int("n", 3).Float64("f", 0.5).Bool("ok", true).StringSlice("list", []string{"a", "b"}).Emitf("user %s signed in", "ann")
	logger.Error().WithCtx(ctx).Emit("slow query \U0001f422")
	meter := sentry.NewMeter(ctx)
	meter.Count("orders", 1, sentry.WithAttributes(attribute.String("region", "eu")))
	meter.Gauge("queue", 7)
	meter.Distribution("latency", 12.5, sentry.WithUnit(sentry.UnitMillisecond))
	flush()
}

func unbuffered() {
	initialise(func(options *sentry.ClientOptions) { options.DisableTelemetryBuffer = true })
	sentry.CaptureMessage("without telemetry buffer")
	sentry.NewLogger(context.Background()).Info().Emit("log without telemetry buffer")
	flush()
}

func init() {
	parts["joined"], parts["logs"], parts["unbuffered"] = joined, logsPart, unbuffered
	logs = func(i int) { sentry.NewLogger(context.Background()).Info().Emitf("log %d", i) }
}
