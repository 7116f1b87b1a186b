/** A broker at the site as routes use it: the agent's own listener, or one elsewhere. */
export interface TopicReader {
  readonly filter: string;
  /** Never throws, and does not wait. */
  deliver(topic: string, payload: Buffer): void;
  /**
   * Whether it has to be waited for before so many bytes more are delivered: undefined when not. Room is then kept
   * for them, so that {@link deliver} has to follow.
   *
   * @returns once there is room, or the signal has come
   */
  room(bytes: number, signal: AbortSignal): Promise<unknown> | undefined;
}

export interface TopicBroker {
  /** @returns what ends it */
  read(reader: TopicReader): () => void;
  /** @returns undefined when the broker has it, else why not */
  publish(topic: string, payload: Buffer): Promise<string | undefined>;
  /** Why it cannot be reached, or does not listen; undefined when it can. */
  readonly problem: string | undefined;
  close(): Promise<void>;
}
