/**
 * Numbers of users that no account has: one for each confined process. No entry in /etc/passwd is needed.
 * The range is one that neither distributions' accounts nor systemd's dynamic users, containers or
 * homes take from (systemd.io/UIDS-GIDS), and small enough to exist in most user namespaces.
 */
const first = 60_706;
const count = 478;

export class SandboxUsers {
  private readonly taken = new Set<number>();
  private next: number;

  /** @param owner of several agents on one machine, each begins elsewhere in the range */
  constructor(owner: string) {
    this.next = [...owner].reduce((sum, letter) => (sum * 31 + (letter.codePointAt(0) ?? 0)) % count, 7);
  }

  /** @returns undefined when there are as many as the range has */
  take(): number | undefined {
    for (let tries = 0; tries < count; tries++) {
      const user = first + this.next;
      // Not the one that was given back last: something of it may still be on its way out.
      this.next = (this.next + 1) % count;
      if (this.taken.has(user)) continue;
      this.taken.add(user);
      return user;
    }
    return undefined;
  }

  give(user: number): void {
    this.taken.delete(user);
  }
}
