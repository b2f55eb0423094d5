// Styles that are only sometimes needed, loaded with what needs them.

/** @type {Map<string, Promise<unknown>>} */
const sheets = new Map();

/**
 * See that a sheet of ours holds. One that cannot be had keeps nobody from what it is about.
 *
 * @param {string} name
 */
export function styled(name) {
  const loaded = sheets.get(name) ?? load(new URL(`../../css/${name}`, import.meta.url).href);
  sheets.set(name, loaded);
  return loaded;
}

/** @param {string} href */
function load(href) {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = href;
  const loaded = new Promise((resolve) => {
    link.addEventListener("load", resolve);
    link.addEventListener("error", resolve);
  });
  document.head.append(link);
  return loaded;
}
