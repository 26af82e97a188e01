// The prose of the help texts.

import type { AnyVerb } from "./verb.ts";

/** What surrounds the list of commands in `cairn --help`. */
export const ROOT_HELP = {
  description: "PostgreSQL backups that prove they restore.",
  end: `Something is broken and you need data back?
  cairn list --repo /backups                          what there is
  cairn show latest --repo /backups                   what is in the newest
  cairn restore latest --repo /backups --to postgresql://host/postgres -t orders
                                                      one table into a new scratch database; touches nothing else
  createdb shop_again
  cairn restore latest --repo /backups --to postgresql://host/shop_again
                                                      all of it into an empty database

The first backup:
  cairn init --repo /backups
  cairn doctor postgresql://host/shop                 what would stop a backup
  cairn backup postgresql://host/shop --repo /backups
  cairn verify latest --repo /backups

Environment:
  CAIRN_REPOSITORY    the repository when --repo is not given
  CAIRN_PASSPHRASE    its passphrase (or --passphrase-file FILE; else it is asked on the terminal)
  PG*                 the connection when SOURCE leaves something out, as for psql

Exit status:
  0 done                      10 no repository there      70 a defect of Cairn
  1 failed                    11 locked by another run   130 interrupted
  2 wrong command line        12 wrong passphrase or key
  3 finished but incomplete

"cairn COMMAND --help" tells everything about a command.`,
};

/** What stands below the options of a command. */
export function verbHelpEnd(verb: AnyVerb): string {
  return ["Examples:", ...verb.examples.map((example) => `  ${example}`)].join("\n");
}
