// Browsers and moments in words.

import assert from "node:assert/strict";
import { test } from "node:test";
import { deviceOf, fromNow } from "../../static/js/devices.js";

test("a browser is named by what it is, whatever else it claims to be", () => {
  const chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";
  assert.equal(deviceOf(chrome), "Chrome on Linux");
  assert.equal(deviceOf(`${chrome} Edg/140.0.0.0`.replace("X11; Linux x86_64", "Windows NT 10.0")), "Edge on Windows");
  assert.equal(deviceOf("Mozilla/5.0 (Android 15; Mobile; rv:140.0) Gecko/140.0 Firefox/140.0"), "Firefox on Android");
  const phone = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 Version/18.0 Mobile Safari/604.1";
  assert.equal(deviceOf(phone), "Safari on iPhone");
});

test("what is no browser goes by its first word", () => {
  assert.equal(deviceOf("Python/3.11 aiohttp/3.14.5"), "Python");
  assert.equal(deviceOf("curl/8.0"), "curl");
  assert.equal(deviceOf(""), "An unknown program");
});

test("moments are as far away as a person cares", () => {
  const now = 1_700_000_000_000;
  assert.match(fromNow(now + 7 * 86_400_000, now), /7/);
  assert.match(fromNow(now - 2 * 3_600_000, now), /2/);
  assert.match(fromNow(now + 10 * 60_000, now), /10/);
  assert.equal(fromNow(now - 5_000, now), "just now");
  assert.equal(fromNow(now + 5_000, now), "in a moment");
});
