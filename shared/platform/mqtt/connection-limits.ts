/**
 * How many connections there may be: in all, by source address, and such that have not said yet who they
 * are. Counts only; who asks opens and closes.
 */
export interface ConnectionLimits {
  readonly inAll: number;
  readonly perAddress: number;
  /** Not accepted yet, of one source address: TLS sessions without a CONNECT. */
  readonly strangersPerAddress: number;
}

interface Count {
  open: number;
  strangers: number;
}

export class ConnectionCounter {
  private open = 0;
  private readonly byAddress = new Map<string, Count>();

  constructor(private readonly limits: ConnectionLimits) {}

  /** @returns what to call when it is accepted and when it is closed; undefined when it may not be */
  enter(address: string): { readonly accepted: () => void; readonly closed: () => void } | undefined {
    const count = this.byAddress.get(address) ?? { open: 0, strangers: 0 };
    const { inAll, perAddress, strangersPerAddress } = this.limits;
    if (this.open >= inAll || count.open >= perAddress || count.strangers >= strangersPerAddress) return undefined;
    this.byAddress.set(address, count);
    this.open += 1;
    count.open += 1;
    count.strangers += 1;
    let [known, gone] = [false, false];
    const accepted = (): void => {
      if (!known) count.strangers -= 1;
      known = true;
    };
    return {
      accepted,
      closed: () => {
        if (gone) return;
        gone = true;
        accepted();
        this.open -= 1;
        count.open -= 1;
        if (count.open === 0) this.byAddress.delete(address);
      },
    };
  }
}
