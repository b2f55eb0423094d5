// What the templates promise is looked for here, and missed at once where it is not.

/**
 * @template {Element} Kind
 * @param {ParentNode} root
 * @param {string} selector
 * @param {new (...args: any[]) => Kind} kind
 * @returns {Kind}
 */
export function part(root, selector, kind) {
  const element = root.querySelector(selector);
  if (element instanceof kind) return element;
  throw new Error(`${root instanceof Element ? root.localName : "The page"} has no ${selector}.`);
}
