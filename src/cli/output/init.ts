// What init prints.

import type { InitCommandResult } from "../commands/init.ts";
import { countOf, fieldLines, joinLines } from "./text.ts";

const KEEP_IT = [
  "Keep the recovery kit apart from the repository and from this machine: on paper, in a safe, in a password manager.",
  "It opens the repository when the passphrase or identity or cairn.json is lost. Who has it needs nothing else.",
];

const LIKE_TEXT = "It opens both repositories, as the kit of the other one does: they have the same keys.";

function encryptionText({ hasPassphrase, isEncrypted, recipientCount }: InitCommandResult): string {
  if (!isEncrypted) return "none";
  const identities = recipientCount === 0 ? [] : [`the identity of ${countOf(recipientCount, "recipient")}`];
  const ways = [...(hasPassphrase ? ["the passphrase"] : []), ...identities, "the recovery kit"];
  return `AES-256-GCM, opened by ${ways.join(" or ")}`;
}

/** The new repository; its recovery kit was shown before, or is in a file. */
export function renderInit(result: InitCommandResult): string {
  const lines = [
    "Made a repository.",
    "",
    ...fieldLines([
      ["repository", result.location],
      ["id", result.repositoryId],
      ["encryption", encryptionText(result)],
      ["recovery kit", result.recoveryKitFile],
      ["like", result.like],
    ]),
    "",
  ];
  if (!result.isEncrypted) {
    lines.push(
      "It is not encrypted: who can reach it can read it, and can change it unnoticed; checksums find accidents only.",
    );
  } else {
    lines.push(...KEEP_IT);
    if (result.like !== null) lines.push(LIKE_TEXT);
  }
  return joinLines(lines);
}
