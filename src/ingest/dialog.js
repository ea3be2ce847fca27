// dialog.js: the crash-report dialog (protocol §7.4). SDKs put this script into a page; its address names the DSN, the event and the texts. It asks
// for name, address and comments and posts them to where it came from. Nothing of the address is ever taken for markup.
(function () {
  "use strict";
  var CLOSED = "__sentry_reportdialog_closed__"; // what SDKs wait for
  var address = document.currentScript.src;
  var given = new URL(address).searchParams;
  var texts = {
    title: "It looks like we’re having issues.",
    subtitle: "Our team has been notified.",
    subtitle2: "If you’d like to help, tell us what happened below.",
    labelName: "Name",
    labelEmail: "Email",
    labelComments: "What happened?",
    labelClose: "Close",
    labelSubmit: "Submit",
    errorGeneric: "An unknown error occurred while submitting your report. Please try again.",
    errorFormEntry: "Some fields were invalid. Please correct the errors and try again.",
    successMessage: "Your feedback has been sent. Thank you!"
  };
  function text(name) {
    return given.get(name) || texts[name];
  }
  function make(tag, parent, style, content) {
    var element = document.createElement(tag);
    element.style.cssText = style;
    if (content) element.textContent = content;
    parent.appendChild(element);
    return element;
  }
  var overlay = make("div", document.body, "position:fixed;top:0;right:0;bottom:0;left:0;z-index:2147483647;overflow:auto;" +
    "background:rgba(0,0,0,.6);font:16px/1.4 system-ui,sans-serif;color:#222");
  overlay.setAttribute("role", "dialog");
  overlay.setAttribute("aria-modal", "true");
  overlay.setAttribute("aria-label", text("title"));
  var card = make("div", overlay, "max-width:32em;margin:8vh auto;padding:1.5em;border-radius:.5em;background:#fff");
  make("h2", card, "margin:0 0 .5em;font-size:1.3em", text("title"));
  make("p", card, "margin:0 0 1em", text("subtitle") + " " + text("subtitle2"));
  var form = make("form", card, "margin:0");
  var message = make("p", card, "margin:1em 0 0");
  message.setAttribute("role", "status");
  function field(name, label, tag, type, value) {
    var row = make("label", form, "display:block;margin:0 0 .8em", text(label));
    var input = make(tag, row, "display:block;box-sizing:border-box;width:100%;padding:.5em;border:1px solid #999;border-radius:.3em;font:inherit");
    if (type) input.type = type;
    input.name = name;
    input.required = true;
    input.value = value || "";
    return input;
  }
  var fields = [
    field("name", "labelName", "input", "text", given.get("name")),
    field("email", "labelEmail", "input", "email", given.get("email")),
    field("comments", "labelComments", "textarea")
  ];
  var button = "margin:0 .5em 0 0;padding:.5em 1em;border:1px solid #333;border-radius:.3em;font:inherit;cursor:pointer;";
  var submit = make("button", form, button + "background:#333;color:#fff", text("labelSubmit"));
  var close = make("button", form, button + "background:#fff;color:#333", text("labelClose"));
  submit.type = "submit";
  close.type = "button";
  function end() {
    document.removeEventListener("keydown", onKey);
    overlay.remove();
    window.postMessage(CLOSED, "*");
  }
  function onKey(event) {
    if (event.key === "Escape") end();
  }
  document.addEventListener("keydown", onKey);
  close.addEventListener("click", end);
  form.addEventListener("submit", function (event) {
    event.preventDefault();
    submit.disabled = true;
    var body = new URLSearchParams();
    fields.forEach(function (input) { body.append(input.name, input.value); });
    var request = new XMLHttpRequest();
    request.open("POST", address);
    request.setRequestHeader("Content-Type", "application/x-www-form-urlencoded");
    request.onloadend = function () {
      submit.disabled = false;
      message.textContent = text(request.status === 200 ? "successMessage" : request.status === 400 ? "errorFormEntry" : "errorGeneric");
      if (request.status !== 200) return;
      fields.forEach(function (input) { input.parentNode.remove(); });
      submit.remove();
      close.focus();
    };
    request.send(body.toString());
  });
  fields[given.get("name") ? 2 : 0].focus();
})();
