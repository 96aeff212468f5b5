// Passkeys: asks the authenticator what the form's options say, and sends its answer. Without it
// the forms stay hidden; passphrases work everywhere.
"use strict";
(() => {
  const able = globalThis.PublicKeyCredential?.parseCreationOptionsFromJSON;
  if (!able) return;
  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const said = form.querySelector(".said");
    form.hidden = false;
    form.addEventListener("submit", async (event) => {
      if (form.elements.passkey.value) return;
      event.preventDefault();
      said.textContent = "Waiting for your passkey …";
      try {
        const options = JSON.parse(form.dataset.options);
        const made = form.dataset.passkey === "create"
          ? await navigator.credentials.create({
            publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options),
          })
          : await navigator.credentials.get({
            publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options),
          });
        form.elements.passkey.value = JSON.stringify(made.toJSON());
        form.requestSubmit();
      } catch {
        said.textContent = "That did not work; nothing was sent. Try again.";
      }
    });
  }
})();
