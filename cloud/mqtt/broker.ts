/**
 * The broker as the control plane sees it: embedded or external, MQTT 3.1.1 abilities only. An
 * acceptance is not durability: what must not be lost stays in the database until the device says
 * that it has it.
 */
export interface PublishOptions {
  readonly qos: 0 | 1;
  readonly retain: boolean;
}

export type MessageHandler = (topic: string, payload: Buffer) => void;

export interface Broker {
  /** Messages come once it is open: handlers are set before. */
  open(): Promise<void>;
  /**
   * Resolves when the broker has accepted the message.
   * @throws AppError `broker.unreachable`
   */
  publish(topic: string, payload: Buffer, options: PublishOptions): Promise<void>;
  /** Gets everything that devices send, of every workspace. One handler; it must not throw. */
  onMessage(handler: MessageHandler): void;
  isConnected(): boolean;
  close(): Promise<void>;
}
