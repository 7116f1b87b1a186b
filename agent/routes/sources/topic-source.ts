/** What is published on topics of a broker at the site. */
import type { TopicBroker } from '../mqtt/topic-broker.js';
import { bytesItem } from '../payload.js';
import type { Source, SourcePorts } from './source.js';

export function openTopicSource(filter: string, broker: TopicBroker, { queue, onEntered }: SourcePorts): Source {
  const stop = broker.read({
    filter,
    deliver: (topic, payload) => {
      onEntered();
      queue.press(bytesItem(payload, topic));
    },
    room: (bytes, signal) => {
      const waits = queue.policy === 'block' && !queue.hasRoom(bytes) && queue.couldHold(bytes);
      return waits ? queue.room(bytes, signal) : undefined;
    },
  });
  return { stop, problem: () => broker.problem };
}
