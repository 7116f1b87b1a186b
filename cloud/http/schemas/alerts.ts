import * as z from 'zod';
import { alertRuleSchema } from '#cloud/alerts/alert-rule.js';
import { pageQuery } from './common.js';
import { instantSchema, nameSchema } from '#shared/protocol/primitives.js';

export const rulesApply = z.strictObject({ rules: z.array(alertRuleSchema).min(1).max(100) });

export const rulesApplied = z.object({
  rules: z.array(z.object({ name: nameSchema, outcome: z.enum(['created', 'changed', 'unchanged']) })),
});

/** Only of one rule, where it is given. */
export const alertQuery = pageQuery.extend({ rule: nameSchema.optional() });

export const alertStateBody = z.object({
  rule: nameSchema,
  severity: z.enum(['info', 'warning', 'critical']),
  subject: z.string().describe('the device, module or module:version; empty where the rule is of all together'),
  state: z.enum(['pending', 'firing']),
  incident: z.string(),
  value: z.number(),
  threshold: z.number(),
  since: instantSchema,
});
export type AlertStateBody = z.infer<typeof alertStateBody>;

export const alertRuleBody = z.object({
  rule: alertRuleSchema,
  createdAt: instantSchema,
  updatedAt: instantSchema,
  firing: z.int().describe('of how many subjects it fires'),
});
export type AlertRuleBody = z.infer<typeof alertRuleBody>;

export const alertTested = z.object({ id: z.string(), destinations: z.array(nameSchema) });
