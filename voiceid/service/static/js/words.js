// The page's texts in the reader's language.

export const LANGUAGES = { en: "English", de: "Deutsch", es: "Español" };
let texts = {};
export let language = "en";

/** Load the texts: of `?lang=`, else of the browser, else English. */
export async function loadWords() {
  const asked = new URLSearchParams(location.search).get("lang");
  const wished = [asked, ...navigator.languages].map((tag) => (tag ?? "").slice(0, 2));
  language = wished.find((tag) => tag in LANGUAGES) ?? "en";
  texts = await (await fetch(`/static/i18n/${language}.json`)).json();
  document.documentElement.lang = language;
}

/** The text of a key, its `{blanks}` filled. */
export function t(key, blanks = {}) {
  const text = texts[key] ?? key;
  return text.replace(/\{(\w+)\}/g, (whole, name) => blanks[name] ?? whole);
}

/** Whether there is a text for a key. */
export const has = (key) => key in texts;

/** A moment as people write it. */
export const moment = (iso) => new Date(iso).toLocaleString(language, { dateStyle: "medium", timeStyle: "short" });

/** A number as people write it. */
export const number = (value, digits = 0) =>
  value.toLocaleString(language, { minimumFractionDigits: digits, maximumFractionDigits: digits });
