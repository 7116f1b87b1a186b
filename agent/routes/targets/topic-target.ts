/** To a topic of a broker at the site. */
import type { TopicBroker } from '../mqtt/topic-broker.js';
import type { Payload } from '../payload.js';
import { type Sent, sent, type Target } from './target.js';

export class TopicTarget implements Target {
  constructor(
    private readonly topic: string,
    private readonly broker: TopicBroker,
    private readonly maxBytes: number,
  ) {}

  async send({ bytes }: Payload): Promise<Sent> {
    if (bytes.length > this.maxBytes) {
      const message = `an answer of ${String(bytes.length)} bytes is larger than MQTT packets may be here`;
      return { kind: 'lost', reason: 'too-large', message };
    }
    const problem = await this.broker.publish(this.topic, bytes);
    return problem === undefined ? sent : { kind: 'later', message: problem };
  }
}
