/** What is published on topics of a broker at the site. */
import type { TopicBroker } from '../mqtt/topic-broker.js';
import { bytesItem } from '../payload.js';
import type { Source, SourcePorts } from './source.js';

/**
 * With the policy `block`, whoever publishes is let in one after the other, each with room kept for what it brings:
 * several that are woken by one free place would take it from each other.
 */
export function openTopicSource(filter: string, broker: TopicBroker, { queue, onEntered }: SourcePorts): Source {
  const reserved: number[] = [];
  let turn: Promise<void> = Promise.resolve();
  const stop = broker.read({
    filter,
    deliver: (topic, payload) => {
      onEntered();
      const kept = reserved.indexOf(payload.length);
      if (kept >= 0) {
        reserved.splice(kept, 1);
        queue.release(payload.length);
      }
      queue.press(bytesItem(payload, topic));
    },
    room: (bytes, signal) => {
      if (queue.policy !== 'block' || !queue.couldHold(bytes)) return undefined;
      turn = turn.then(async () => {
        if (!(await queue.room(bytes, signal))) return;
        queue.reserve(bytes);
        reserved.push(bytes);
      });
      return turn;
    },
  });
  return { stop, problem: () => broker.problem };
}
