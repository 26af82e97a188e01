// The README.txt of a repository: for who finds the folder and does not have the program.

import type { Configuration } from "./configuration.ts";

/** The text of README.txt. It tells nothing that cairn.json does not. */
export function readmeText(configuration: Configuration): string {
  const id = Buffer.from(configuration.repositoryId).toString("hex");
  const key =
    configuration.encryption === "none"
      ? "It is not encrypted."
      : "It is encrypted. You need its passphrase, the age identity of a recipient, or its recovery kit; without them nobody can read it.";
  return `This folder is a Cairn repository: backups of PostgreSQL databases.
Repository ${id}, made ${configuration.createdAt}.
${key}

Change nothing in it by hand. To read it with Cairn (npm package pgcairn):

  cairn list --repo THIS_FOLDER
  cairn restore RESTORE_POINT --repo THIS_FOLDER --to postgresql://…

To read it without Cairn, with nothing but Node.js 24.6 or newer, in a copy of this folder:

  node cairn-rescue.mjs list
  node cairn-rescue.mjs globals RESTORE_POINT > roles.sql
  node cairn-rescue.mjs export RESTORE_POINT database.dump
  pg_restore --list database.dump

Compare the SHA-256 of cairn-rescue.mjs with the recovery kit or the release notes before you run it.
The format is described in docs/formats/repository.md of the Cairn sources.
`;
}
