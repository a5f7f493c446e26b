// Runs inside the frame of controls: tells the page what was turned, and turns what the page asks for.

import { hearKeys } from "./keys.js";

const PREFIX = "option-";
const asked = {}; // what the page wants turned and is not drawn yet: a folded group has no controls until it is opened
let silent = false;

const tell = (message) => parent.postMessage({ from: "controls", ...message }, location.origin);

function turned(event) {
  if (silent) return;
  const control = event.target.closest(`[id^="${PREFIX}"]`);
  if (!control) return;
  const { type, value, checked } = event.target;
  if (type === "radio" && !checked) return;
  delete asked[control.id.slice(PREFIX.length)];
  tell({ name: control.id.slice(PREFIX.length), value: type === "checkbox" ? checked : value });
}
document.addEventListener("input", turned);
document.addEventListener("change", turned);
hearKeys((order) => tell({ order }));

function catchUp() {
  silent = true;
  for (const [name, value] of Object.entries(asked)) {
    if (!document.querySelector(`#${PREFIX}${name} :is(input, textarea)`)) continue;
    delete asked[name];
    turn(name, value);
  }
  silent = false;
}

function turn(name, value) {
  const control = document.getElementById(PREFIX + name);
  const text = value === null || value === undefined ? "" : String(value);
  for (const input of control.querySelectorAll("input, textarea")) {
    if (input.type === "radio") {
      if (input.value === text && !input.checked) input.click();
    } else if (input.type === "checkbox") {
      if (input.checked !== Boolean(value)) input.click();
    } else if (input.value !== text) {
      const home = input.tagName === "TEXTAREA" ? HTMLTextAreaElement : HTMLInputElement;
      Object.getOwnPropertyDescriptor(home.prototype, "value").set.call(input, text);
      input.dispatchEvent(new Event("input", { bubbles: true }));
    }
  }
}

window.addEventListener("message", (event) => {
  if (event.origin !== location.origin || event.data?.from !== "studio") return;
  if (event.data.theme) document.body.classList.toggle("dark", event.data.theme === "dark");
  if (event.data.options) {
    Object.assign(asked, event.data.options);
    catchUp();
  }
});

// The frame is as high as its last control: the page around it would stretch with the frame and never stop.
function measure() {
  const bottoms = [...document.querySelectorAll(".block, .label-wrap")].map((block) => block.getBoundingClientRect().bottom);
  tell({ height: Math.ceil(Math.max(0, ...bottoms) + window.scrollY) });
}

// Whether the controls were drawn before this script ran or come later, the page is told once.
const seen = new MutationObserver(() => { greet(); catchUp(); });
let greeted = false;

function greet() {
  if (greeted || !document.querySelector(`[id^="${PREFIX}"] input`)) return;
  greeted = true;
  tell({ ready: true });
  new ResizeObserver(measure).observe(document.body);
  document.addEventListener("click", () => setTimeout(measure, 300));
}
seen.observe(document.documentElement, { childList: true, subtree: true });
greet();
