// Runs inside the frame of the controls: reports changes to the page, and applies the values that the page sends.

import { listenForKeys } from "./keys.js";

const PREFIX = "option-";
const pending = {}; // values from the page for controls not drawn yet: a collapsed group has none until it is opened
let silent = false;

const send = (message) => parent.postMessage({ from: "controls", ...message }, location.origin);

function controlChanged(event) {
  if (silent) return;
  const control = event.target.closest(`[id^="${PREFIX}"]`);
  if (!control) return;
  const { type, value, checked } = event.target;
  if (type === "radio" && !checked) return;
  delete pending[control.id.slice(PREFIX.length)];
  send({ name: control.id.slice(PREFIX.length), value: type === "checkbox" ? checked : value });
}
document.addEventListener("input", controlChanged);
document.addEventListener("change", controlChanged);
listenForKeys((command) => send({ command }));

function applyPending() {
  silent = true;
  for (const [name, value] of Object.entries(pending)) {
    if (!document.querySelector(`#${PREFIX}${name} :is(input, textarea)`)) continue;
    delete pending[name];
    setControl(name, value);
  }
  silent = false;
}

function setControl(name, value) {
  const control = document.getElementById(PREFIX + name);
  const text = value === null || value === undefined ? "" : String(value);
  for (const input of control.querySelectorAll("input, textarea")) {
    if (input.type === "radio") {
      if (input.value === text && !input.checked) input.click();
    } else if (input.type === "checkbox") {
      if (input.checked !== Boolean(value)) input.click();
    } else if (input.value !== text) {
      const type = input.tagName === "TEXTAREA" ? HTMLTextAreaElement : HTMLInputElement;
      Object.getOwnPropertyDescriptor(type.prototype, "value").set.call(input, text);
      input.dispatchEvent(new Event("input", { bubbles: true }));
    }
  }
}

window.addEventListener("message", (event) => {
  if (event.origin !== location.origin || event.data?.from !== "studio") return;
  if (event.data.theme) document.body.classList.toggle("dark", event.data.theme === "dark");
  if (event.data.options) {
    Object.assign(pending, event.data.options);
    applyPending();
  }
});

// The frame is as high as its last control; the document's own height would grow with the frame forever.
function measure() {
  const bottoms = [...document.querySelectorAll(".block, .label-wrap")].map((block) => block.getBoundingClientRect().bottom);
  send({ height: Math.ceil(Math.max(0, ...bottoms) + window.scrollY) });
}

// Tell the page once that the controls are drawn, whether that happened before this script ran or happens later.
const observer = new MutationObserver(() => { announce(); applyPending(); });
let announced = false;

function announce() {
  if (announced || !document.querySelector(`[id^="${PREFIX}"] input`)) return;
  announced = true;
  send({ ready: true });
  new ResizeObserver(measure).observe(document.body);
  document.addEventListener("click", () => setTimeout(measure, 300));
}
observer.observe(document.documentElement, { childList: true, subtree: true });
announce();
