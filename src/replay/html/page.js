const show = () => {
  const told = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (told && told.tagName === "DETAILS") {
    told.open = true;
    told.scrollIntoView({ block: "center" });
    told.querySelector("summary").focus({ preventScroll: true });
  }
};
addEventListener("hashchange", show);
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => (one.open = true)));
show();
