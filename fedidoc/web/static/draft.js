// Saves what is being written, every few seconds after a change, as a draft on this server; and
// sends a form once. Every page works without it: "Save draft" does the same by hand.
"use strict";
(() => {
  const form = document.querySelector("form[data-draft]");
  if (!form) return;
  const state = document.getElementById("draft-state");
  const wait = 4000;
  let timer = 0;
  let sending = false;
  let unsaved = false;

  const save = async () => {
    if (sending || !unsaved) return;
    unsaved = false;
    const body = new FormData(form);
    for (const [name, value] of [...body]) {
      if (value instanceof File) body.delete(name);
    }
    try {
      const answer = await fetch("/drafts/save", { method: "POST", body, redirect: "error" });
      if (!answer.ok) throw new Error();
      const time = new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
      state.textContent = "Draft saved " + time;
    } catch {
      unsaved = true;
      state.textContent = "The draft is not saved; it will be tried again.";
      later();
    }
  };
  const later = () => {
    clearTimeout(timer);
    timer = setTimeout(save, wait);
  };

  form.addEventListener("input", (event) => {
    if (event.target.type === "file") return;
    unsaved = true;
    later();
  });
  form.addEventListener("submit", (event) => {
    if (sending) {
      event.preventDefault();
      return;
    }
    sending = true;
    clearTimeout(timer);
    state.textContent = "Sending …";
  });
  addEventListener("pageshow", () => { sending = false; });
  addEventListener("beforeunload", (event) => {
    if (unsaved && !sending) event.preventDefault();
  });
})();
