// Copies addresses, and leads to the first field that is wrong. Without it the pages work, too.
"use strict";

for (const button of document.querySelectorAll("[data-copies]")) {
  const field = document.getElementById(button.dataset.copies);
  const said = button.parentElement.querySelector(".said");
  button.hidden = false;
  button.addEventListener("click", async () => {
    field.select();
    try {
      await navigator.clipboard.writeText(field.value);
    } catch {
      document.execCommand("copy");
    }
    said.textContent = "Copied";
  });
}

const wrong = document.querySelector("[aria-invalid=true]");
if (wrong) wrong.focus();
