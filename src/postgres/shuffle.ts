// Random order, for load_balance_hosts=random.

import { randomInt } from "node:crypto";

/** Puts a list into random order, each order as likely as any other. */
export function shuffle(list: unknown[]): void {
  for (let index = list.length - 1; index > 0; index -= 1) {
    const other = randomInt(index + 1);
    [list[index], list[other]] = [list[other], list[index]];
  }
}
