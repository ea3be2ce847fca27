// A shop with the Go SDK, part by part. usage: SENTRY_DSN=… shop PART...   Exit status 0: everything was sent and nothing was refused.
// What follows builds with Go 1.18 and the last SDK for it; newer.go has what came later.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/getsentry/sentry-go"
	sentryhttp "github.com/getsentry/sentry-go/http"
)

var refused int32 // answers other than 200, and none at all

type checker struct{}

func (checker) RoundTrip(request *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil || answer.StatusCode != 200 {
		atomic.AddInt32(&refused, 1)
	}
	return answer, err
}

func initialise(change func(options *sentry.ClientOptions)) {
	options := sentry.ClientOptions{Release: "shop@1.2.3", Dist: "7", Environment: "production", ServerName: "web-1",
		EnableTracing: true, TracesSampleRate: 1, SendDefaultPII: true, AttachStacktrace: true, HTTPTransport: checker{}}
	if change != nil {
		change(&options)
	}
	if err := sentry.Init(options); err != nil {
		panic(err)
	}
}

func flush() {
	if !sentry.Flush(20 * time.Second) {
		fmt.Println("flush timed out")
		os.Exit(1)
	}
}

type PaymentError struct{ Code int }

func (e *PaymentError) Error() string { return fmt.Sprintf("payment refused: %d", e.Code) }

func charge(n int) error   { return &PaymentError{n} }
func checkout(n int) error { return fmt.Errorf("checkout %d: %w", n, charge(n)) }
func crash(n int) int      { var items []int; return items[n] }

func errorsPart() {
	initialise(nil)
	sentry.ConfigureScope(func(scope *sentry.Scope) {
		scope.SetUser(sentry.User{ID: "42", Email: "ann@example.com", Username: "ann", IPAddress: "{{auto}}", Data: map[string]string{"plan": "pro"}})
		scope.SetTag("tenant", "acme")
		scope.SetContext("order", sentry.Context{"id": 991, "total": 12.5})
	})
	sentry.AddBreadcrumb(&sentry.Breadcrumb{Category: "ui.click", Message: "checkout", Level: sentry.LevelInfo, Data: map[string]interface{}{"x": 1}})
	sentry.CaptureException(checkout(402))
	sentry.CaptureMessage("cache warmed in 53 ms")
	sentry.WithScope(func(scope *sentry.Scope) {
		scope.SetFingerprint([]string{"{{ default }}", "payments"})
		scope.SetLevel(sentry.LevelFatal)
		scope.AddAttachment(&sentry.Attachment{Filename: "log.txt", ContentType: "text/plain", Payload: []byte("line one\nline two\n")})
		scope.AddAttachment(&sentry.Attachment{Filename: "bïn\U0001f600.dat", Payload: []byte{0, 10, 13, 255}})
		sentry.CaptureException(errors.New("limit exceeded"))
	})
	func() {
		defer func() {
			if e := recover(); e != nil {
				sentry.CurrentHub().Recover(e)
			}
		}()
		crash(3)
	}()
	func() {
		defer sentry.Recover()
		panic("plain string panic")
	}()
	flush()
}

func unicode() {
	initialise(nil)
	sentry.CaptureMessage("emoji \U0001f4a5 and 你好 مرحبا café")
	sentry.CaptureMessage("surrogate as bytes \xed\xa0\xbd and bad utf-8 \xff\xfe end")
	sentry.CaptureMessage("nul \x00 byte, bell \x07, del \x7f, ls \u2028, <html> & amp")
	sentry.CaptureMessage(strings.Repeat("L", 100000))
	sentry.CaptureException(errors.New(strings.Repeat("V", 100000)))
	flush()
}

func trace() {
	initialise(nil)
	transaction := sentry.StartTransaction(context.Background(), "GET /cart", sentry.WithOpName("http.server"), sentry.WithTransactionSource(sentry.SourceRoute))
	span := transaction.StartChild("db", sentry.WithDescription("SELECT * FROM cart WHERE id = $1"))
	span.SetData("db.system", "postgresql")
	span.SetTag("shard", "3")
	span.Finish()
	failed := transaction.StartChild("http.client", sentry.WithDescription("GET http://api/price"))
	failed.Status = sentry.SpanStatusInternalError
	hub := sentry.CurrentHub().Clone() // as one per request
	hub.CaptureException(checkout(1))
	failed.Finish()
	transaction.Status = sentry.SpanStatusOK
	transaction.Finish()
	flush()
}

func web() {
	initialise(nil)
	shop := http.NewServeMux()
	shop.HandleFunc("/cart/", func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/7") {
			crash(9)
		}
		fmt.Fprint(w, "ok")
	})
	server := httptest.NewServer(sentryhttp.New(sentryhttp.Options{}).Handle(shop))
	defer server.Close()
	for _, path := range []string{"/cart/1?a=1&token=x", "/cart/7?q=%F0%9F%92%A5"} {
		request, _ := http.NewRequest("POST", server.URL+path, strings.NewReader(`{"card":"4242424242424242"}`))
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Cookie", "session=abc")
		request.Header.Set("Authorization", "Bearer xyz")
		request.Header.Set("X-Forwarded-For", "203.0.113.7")
		if answer, err := server.Client().Do(request); err == nil {
			answer.Body.Close()
		}
	}
	flush()
}

func crons() {
	initialise(nil)
	nightly := &sentry.MonitorConfig{Schedule: sentry.CrontabSchedule("0 3 * * *"), CheckInMargin: 5, MaxRuntime: 30, Timezone: "Europe/Berlin"}
	id := sentry.CaptureCheckIn(&sentry.CheckIn{MonitorSlug: "nightly", Status: sentry.CheckInStatusInProgress}, nightly)
	sentry.CaptureCheckIn(&sentry.CheckIn{ID: *id, MonitorSlug: "nightly", Status: sentry.CheckInStatusOK, Duration: 1500 * time.Millisecond}, nightly)
	hourly := &sentry.MonitorConfig{Schedule: sentry.IntervalSchedule(1, sentry.MonitorScheduleUnitHour)}
	sentry.CaptureCheckIn(&sentry.CheckIn{MonitorSlug: "hourly", Status: sentry.CheckInStatusError}, hourly)
	flush()
}

func reports() {
	initialise(func(options *sentry.ClientOptions) {
		options.BeforeSend = func(event *sentry.Event, hint *sentry.EventHint) *sentry.Event {
			if strings.HasPrefix(event.Message, "drop") {
				return nil
			}
			return event
		}
	})
	for i := 0; i < 4; i++ {
		sentry.CaptureMessage("drop me")
	}
	sentry.CaptureMessage("keep me")
	flush()
}

func defaults() {
	if err := sentry.Init(sentry.ClientOptions{ServerName: "web-1", HTTPTransport: checker{}}); err != nil {
		panic(err)
	}
	sentry.CaptureException(checkout(1))
	flush()
}

func syncTransport() {
	initialise(func(options *sentry.ClientOptions) { options.Transport = sentry.NewHTTPSyncTransport() })
	sentry.CaptureMessage("sent synchronously")
	flush()
}

// One after the other, so that each can heed the answer to the one before.
func limits() {
	initialise(nil)
	for i := 0; i < 6; i++ {
		sentry.CaptureMessage(fmt.Sprintf("event %d", i))
		sentry.StartTransaction(context.Background(), fmt.Sprintf("t%d", i)).Finish()
		logs(i)
		flush()
	}
}

var parts = map[string]func(){"errors": errorsPart, "unicode": unicode, "trace": trace, "web": web, "crons": crons, "reports": reports,
				"defaults": defaults, "sync": syncTransport, "limits": limits}
var logs = func(i int) {} // in newer SDKs only

func main() {
	for _, name := range os.Args[1:] {
		parts[name]()
		if name != "limits" && atomic.LoadInt32(&refused) > 0 {
			fmt.Println("refused:", refused)
			os.Exit(1)
		}
	}
}
