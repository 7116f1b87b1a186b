/** Questions to the telemetry database by a connection that changes nothing. */
import { openTelemetryDatabase, type TelemetryStore } from '#cloud/store/telemetry-database.js';
import type { ModuleNumbers } from './cohort-numbers.js';
import { readCohort } from './cohort-reader.js';
import { readEvents, readNewEvents } from './event-reader.js';
import { readSeries } from './series-reader.js';
import { readShadows } from './shadow-reader.js';
import { readSides } from './side-reader.js';
import type {
  CohortQuestion,
  EventsAnswer,
  EventsQuestion,
  NewEvents,
  NewEventsQuestion,
  SeriesAnswer,
  SeriesQuestion,
  ShadowAnswer,
  ShadowQuestion,
  SidesAnswer,
  SidesQuestion,
  TelemetryAnswer,
  TelemetryQuestion,
  TelemetryQuestions,
} from './telemetry-port.js';
import { readTelemetry } from './telemetry-reader.js';

export class QuestionRepository implements TelemetryQuestions {
  protected constructor(protected readonly db: TelemetryStore) {}

  static async openToAsk(path: string): Promise<QuestionRepository> {
    return new QuestionRepository(await openTelemetryDatabase(path));
  }

  telemetry(question: TelemetryQuestion): Promise<TelemetryAnswer> {
    return readTelemetry(this.db, question);
  }

  events(question: EventsQuestion): Promise<EventsAnswer> {
    return readEvents(this.db, question);
  }

  newEvents(question: NewEventsQuestion): Promise<NewEvents> {
    return readNewEvents(this.db, question);
  }

  series(question: SeriesQuestion): Promise<SeriesAnswer> {
    return readSeries(this.db, question);
  }

  cohort(question: CohortQuestion): Promise<ModuleNumbers> {
    return readCohort(this.db, question);
  }

  shadows(question: ShadowQuestion): Promise<ShadowAnswer> {
    return readShadows(this.db, question);
  }

  sides(question: SidesQuestion): Promise<SidesAnswer> {
    return readSides(this.db, question);
  }

  async close(): Promise<void> {
    await this.db.destroy();
  }
}
