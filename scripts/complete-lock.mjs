// Completes package-lock.json after packages were added: npm leaves out optional packages of other platforms that the
// registry at hand does not serve, and `npm ci` then refuses the lock file. They are entered by version and platform;
// without a checksum, since nobody here has seen their bytes. Run it after each `npm install PACKAGE`.

import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const file = fileURLToPath(new URL("../package-lock.json", import.meta.url));
const lock = JSON.parse(readFileSync(file, "utf8"));
const known = new Set(Object.keys(lock.packages).map((path) => path.replace(/^.*node_modules\//, "")));
let added = 0;

for (const parent of Object.values(lock.packages)) {
  for (const [name, version] of Object.entries(parent.optionalDependencies ?? {})) {
    const platform = platformOf(name);
    if (known.has(name) || platform === undefined || !/^\d+\.\d+\.\d+$/.test(version)) continue;
    lock.packages[`node_modules/${name}`] = { version, ...platform, dev: parent.dev, optional: true };
    added += 1;
  }
}
lock.packages = Object.fromEntries(Object.entries(lock.packages).toSorted(([a], [b]) => (a < b ? -1 : 1)));
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
console.log(`${added} packages of other platforms entered in package-lock.json`);

/** Platform by the name's end, as these packages are named: binding-linux-arm64-musl, darwin-x64. */
function platformOf(name) {
  const match = /(android|darwin|freebsd|linux|openharmony|win32)-([a-z0-9]+)(?:-([a-z]+))?$/.exec(name);
  if (match === null) return undefined;
  const [, os, cpu, variant] = match;
  const libc = variant?.startsWith("musl") ? ["musl"] : variant?.startsWith("gnu") ? ["glibc"] : undefined;
  return { cpu: [cpu], os: [os], ...(libc && os === "linux" ? { libc } : {}) };
}
