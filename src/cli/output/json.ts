// Results and errors as JSON documents.

import { isOperatingError, messageOf } from "../../base/errors.ts";
import { InterruptedError } from "../interrupted-error.ts";

// JSON leaves these as they are, a terminal does not: DEL, C1 controls, separators, direction marks.
const RISKY = /[\p{Cc}\p{Zl}\p{Zp}\p{Cf}]/gu;

/** One JSON document with a line end. A bigint becomes a string of digits; what is risky on a terminal is escaped. */
export function jsonText(value: unknown): string {
  const plain = JSON.stringify(value, (_key, item: unknown) => (typeof item === "bigint" ? item.toString() : item), 2);
  // Line ends between the items are JSON's own; inside strings they are escaped already.
  return `${plain.replaceAll(RISKY, (character) => (character === "\n" ? character : unicodeEscapes(character)))}\n`;
}

function unicodeEscapes(text: string): string {
  return text
    .split("")
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)
    .join("");
}

/** An error as a JSON document: `{"error": {code, message, detail, hint}}`; what is absent is null. */
export function errorDocument(error: unknown): object {
  if (isOperatingError(error)) {
    const { code, message, detail = null, hint = null } = error;
    return { error: { code, message, detail, hint } };
  }
  const code = error instanceof InterruptedError ? "interrupted" : "internal";
  return { error: { code, message: messageOf(error), detail: null, hint: null } };
}
