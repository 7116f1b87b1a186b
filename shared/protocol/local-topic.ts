/** Topics at a site: what a filter of MQTT 3.1.1 matches. Those that begin with `$` are the broker's own. */
import * as z from 'zod';

export const maxTopicLevels = 16;

const levels = (text: string): string[] => text.split('/');

export const topicSchema = z
  .string()
  .min(1)
  .max(256)
  .regex(/^[^$+#\0][^+#\0]*$/, 'must be a topic without "+" and "#", and not begin with "$"')
  .refine((topic) => levels(topic).length <= maxTopicLevels, `at most ${String(maxTopicLevels)} levels`);

export const topicFilterSchema = z
  .string()
  .min(1)
  .max(256)
  .regex(/^[^$\0][^\0]*$/, 'must not begin with "$"')
  .refine(isFilter, '"+" stands for a whole level and "#" for all levels at the end')
  .refine((filter) => levels(filter).length <= maxTopicLevels, `at most ${String(maxTopicLevels)} levels`);

function isFilter(filter: string): boolean {
  const parts = levels(filter);
  return parts.every((part, at) => {
    if (part === '#') return at === parts.length - 1;
    return part === '+' || !/[+#]/.test(part);
  });
}

export function matchesFilter(topic: string, filter: string): boolean {
  if (topic.startsWith('$')) return false;
  const [have, want] = [levels(topic), levels(filter)];
  for (const [at, part] of want.entries()) {
    if (part === '#') return true;
    if (at >= have.length || (part !== '+' && part !== have[at])) return false;
  }
  return have.length === want.length;
}
