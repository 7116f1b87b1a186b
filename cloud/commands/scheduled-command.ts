/** Commands to many devices, begun by schedules. */
import { AppError } from '#shared/kernel/errors.js';
import { describeIssues } from '#shared/protocol/decode.js';
import { commandJobCreate } from '#cloud/http/schemas/commands.js';
import { parseQuery } from '#cloud/fleet/query/parse-query.js';
import type { ScheduleKind } from '#cloud/schedule/schedule.js';
import type { CommandOffice, CommandOrder } from './command-office.js';

export function scheduledCommand(office: CommandOffice): ScheduleKind {
  const orderOf = (action: unknown): CommandOrder => {
    const parsed = commandJobCreate.safeParse(action);
    if (parsed.success) return parsed.data;
    throw new AppError('request.invalid', `action: ${describeIssues(parsed.error)}`);
  };
  return {
    kind: 'command',
    check: (workspace, action) => {
      const order = orderOf(action);
      if (order.where !== undefined) parseQuery(order.where);
      office.check(workspace, order);
    },
    begin: async (transaction, { workspace, name, action, createdBy }) => {
      const job = await office.startWithin(transaction, workspace, orderOf(action), { by: createdBy, schedule: name });
      return { number: job.number, text: `command ${String(job.number)}`, after: () => office.changed(job) };
    },
  };
}
