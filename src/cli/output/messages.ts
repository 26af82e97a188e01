// Errors and notices on standard error, as PostgreSQL's own programs write them.

import { isOperatingError, messageOf } from "../../base/errors.ts";
import type { Notice } from "../../operations/operation.ts";
import { InterruptedError } from "../interrupted-error.ts";
import { sanitizeLine, sanitizeText } from "./sanitize.ts";

const DEFECT_HINT =
  "This is a defect of Cairn, not of yours. Please report it with this text, the version and the command line; " +
  "CAIRN_DEBUG=1 shows where it happened.";

/** An error for people. With `isDebugging`, followed by where it happened. */
export function errorText(error: unknown, isDebugging: boolean): string {
  const lines: string[] = [];
  if (isOperatingError(error) && error.code !== "internal") {
    lines.push(...messageLines("error", error.message, error));
  } else if (error instanceof InterruptedError) {
    lines.push(...messageLines("error", error.message, {}));
  } else {
    const detail = isOperatingError(error) ? error.detail : undefined;
    lines.push(...messageLines("error", `internal error: ${messageOf(error)}`, { detail, hint: DEFECT_HINT }));
  }
  if (isDebugging) lines.push(...stackLines(error));
  return `${lines.join("\n")}\n`;
}

/** A notice for people. */
export function noticeText(notice: Notice): string {
  const kind = notice.severity === "warning" ? "warning" : "note";
  return `${messageLines(kind, notice.message, notice).join("\n")}\n`;
}

interface MessageEnd {
  readonly detail?: string | undefined;
  readonly hint?: string | undefined;
}

function messageLines(kind: string, message: string, { detail, hint }: MessageEnd): string[] {
  const lines = [`cairn: ${kind}: ${sanitizeLine(message)}`];
  if (detail !== undefined) lines.push(...labelled("DETAIL:  ", detail));
  if (hint !== undefined) lines.push(...labelled("HINT:  ", hint));
  return lines;
}

/** Several lines stay several lines, set below one another. */
function labelled(label: string, text: string): string[] {
  const indent = " ".repeat(label.length);
  return text.split("\n").map((line, index) => `${index === 0 ? label : indent}${sanitizeLine(line)}`);
}

function stackLines(error: unknown): string[] {
  const lines: string[] = [];
  let current: unknown = error;
  for (let depth = 0; current instanceof Error && depth < 5; depth += 1) {
    lines.push(...sanitizeText(current.stack ?? current.message).split("\n"));
    current = current.cause;
  }
  return lines;
}
