// The version of this program, from its package.

import { readFileSync } from "node:fs";

const packageText = readFileSync(new URL("../../package.json", import.meta.url), "utf8");

/** E.g. "0.1.0". */
export const CAIRN_VERSION: string = (JSON.parse(packageText) as { version: string }).version;
