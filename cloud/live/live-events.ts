/** What changed, for whoever watches now. Nothing is kept: the database answers what was missed. */
import type { DeviceAddress } from '#shared/protocol/topics.js';

export type LiveEventType =
  | 'activity.changed'
  | 'alert.changed'
  | 'command.changed'
  | 'device.changed'
  | 'device.event'
  | 'deployment.changed'
  | 'rollout.schedule'
  | 'rollout.changed'
  | 'rollout.device'
  | 'shift.changed'
  | 'workspace.deleted';

export interface LiveEvent {
  readonly workspace: string;
  readonly type: LiveEventType;
  /** The thing that changed: a device's name, an activity's id. */
  readonly subject: string;
  readonly data: unknown;
}

export type LiveListener = (event: LiveEvent) => void;

export class LiveEvents {
  private readonly listeners = new Map<string, Set<LiveListener>>();
  private readonly everywhere = new Set<LiveListener>();

  /** @param onError gets what a listener threw; the others are told all the same */
  constructor(private readonly onError: (error: unknown) => void) {}

  publish(event: LiveEvent): void {
    for (const listener of [...(this.listeners.get(event.workspace) ?? []), ...this.everywhere]) {
      try {
        listener(event);
      } catch (error) {
        this.onError(error);
      }
    }
  }

  deviceChanged({ workspace, device }: DeviceAddress): void {
    this.publish({ workspace, type: 'device.changed', subject: device, data: { device } });
  }

  /** @returns the function that ends the subscription */
  subscribe(workspace: string, listener: LiveListener): () => void {
    const listeners = this.listeners.get(workspace) ?? new Set();
    this.listeners.set(workspace, listeners.add(listener));
    return () => {
      listeners.delete(listener);
      if (listeners.size === 0 && this.listeners.get(workspace) === listeners) this.listeners.delete(workspace);
    };
  }

  /** Of every workspace. @returns the function that ends the subscription */
  subscribeToAll(listener: LiveListener): () => void {
    this.everywhere.add(listener);
    return () => this.everywhere.delete(listener);
  }

  get subscribers(): number {
    let count = 0;
    for (const listeners of this.listeners.values()) count += listeners.size;
    return count;
  }
}
