// What the browser keeps for this tab and for this browser. It may be full, or forbidden; nothing here depends on it,
// so where it fails, memory takes its place until the page is closed.

/** @typedef {Pick<Storage, "getItem" | "setItem" | "removeItem"> & {keys: () => string[]}} Keeper */

export const ofThisTab = keeper(() => sessionStorage);
export const ofThisBrowser = keeper(() => localStorage);

/**
 * @param {() => Storage} storage  Even to name it can be forbidden.
 * @returns {Keeper}
 */
function keeper(storage) {
  /** @type {Map<string, string>} */
  const memory = new Map();
  return {
    keys: () => [...new Set([...memory.keys(), ...(attempt(() => Object.keys(storage())) ?? [])])],
    getItem: (key) => memory.get(key) ?? attempt(() => storage().getItem(key)) ?? null,
    setItem: (key, value) => {
      memory.delete(key);
      attempt(() => storage().setItem(key, value));
      if (attempt(() => storage().getItem(key)) !== value) memory.set(key, value);
    },
    removeItem: (key) => {
      memory.delete(key);
      attempt(() => storage().removeItem(key));
    },
  };
}

/**
 * @template Value
 * @param {() => Value} action
 * @returns {Value | undefined}
 */
function attempt(action) {
  try {
    return action();
  } catch {
    return undefined;
  }
}
