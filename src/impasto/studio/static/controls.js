// Runs inside the frame of controls: tells the page what was turned, and turns what the page asks for.

const PREFIX = "option-";
let silent = false;

const tell = (message) => parent.postMessage({ from: "controls", ...message }, location.origin);

function turned(event) {
  if (silent) return;
  const control = event.target.closest(`[id^="${PREFIX}"]`);
  if (!control) return;
  const { type, value, checked } = event.target;
  if (type === "radio" && !checked) return;
  tell({ name: control.id.slice(PREFIX.length), value: type === "checkbox" ? checked : value });
}
document.addEventListener("input", turned);
document.addEventListener("change", turned);

function turn(name, value) {
  const control = document.getElementById(PREFIX + name);
  if (!control) return;
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
    silent = true;
    for (const [name, value] of Object.entries(event.data.options)) turn(name, value);
    silent = false;
  }
});

// The frame is as high as its last control: the page around it would stretch with the frame and never stop.
function measure() {
  const bottoms = [...document.querySelectorAll(".block, .label-wrap")].map((block) => block.getBoundingClientRect().bottom);
  tell({ height: Math.ceil(Math.max(0, ...bottoms) + window.scrollY) });
}

const seen = new MutationObserver(() => {
  if (!document.querySelector(`[id^="${PREFIX}"]`)) return;
  seen.disconnect();
  tell({ ready: true });
  new ResizeObserver(measure).observe(document.body);
  document.addEventListener("click", () => setTimeout(measure, 300));
});
seen.observe(document.documentElement, { childList: true, subtree: true });
