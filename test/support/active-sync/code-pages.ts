/**
 * The WBXML code pages of ActiveSync that mail needs: which byte on which page is which element. Read by wbxml.ts alone.
 * Source: MS-ASWBXML 2.1.2.1.1 (AirSync) to 2.1.2.1.22 (ComposeMail). Elements of other pages are unknown here.
 */

/** Page, its namespace, and its elements from token 0x05 on in their order; `-` is a token that is not in use. */
const pages: readonly (readonly [page: number, namespace: string, elements: string])[] = [
  [
    0,
    'AirSync',
    'Sync Responses Add Change Delete Fetch SyncKey ClientId ServerId Status Collection Class - CollectionId ' +
      'GetChanges MoreAvailable WindowSize Commands Options FilterType - - Conflict Collections ApplicationData ' +
      'DeletesAsMoves - Supported SoftDelete MIMESupport MIMETruncation Wait Limit Partial ConversationMode ' +
      'MaxItems HeartbeatInterval',
  ],
  [
    2,
    'Email',
    '- - - - - - - - - - DateReceived - DisplayTo Importance MessageClass Subject Read To Cc From ReplyTo ' +
      'AllDayEvent Categories Category DtStamp EndTime InstanceType BusyStatus Location MeetingRequest Organizer ' +
      'RecurrenceId Reminder ResponseRequested Recurrences Recurrence Type Until Occurrences Interval DayOfWeek ' +
      'DayOfMonth WeekOfMonth MonthOfYear StartTime Sensitivity TimeZone GlobalObjId ThreadTopic - - - InternetCPID ' +
      'Flag Status ContentClass FlagType CompleteTime DisallowNewTimeProposal',
  ],
  [5, 'Move', 'MoveItems Move SrcMsgId SrcFldId DstFldId Response Status DstMsgId'],
  [
    6,
    'GetItemEstimate',
    'GetItemEstimate - Collections Collection Class CollectionId - Estimate Response Status',
  ],
  [
    7,
    'FolderHierarchy',
    '- - DisplayName ServerId ParentId Type - Status - Changes Add Delete Update SyncKey FolderCreate ' +
      'FolderDelete FolderUpdate FolderSync Count',
  ],
  [13, 'Ping', 'Ping AutdState Status HeartbeatInterval Folders Folder Id Class MaxFolders'],
  [
    14,
    'Provision',
    'Provision Policies Policy PolicyType PolicyKey Data Status RemoteWipe EASProvisionDoc DevicePasswordEnabled ' +
      'AlphanumericDevicePasswordRequired',
  ],
  [
    15,
    'Search',
    'Search - Store Name Query Options Range Status Response Result Properties Total EqualTo Value And Or FreeText - ' +
      'DeepTraversal LongId RebuildResults LessThan GreaterThan - - UserName Password ConversationId',
  ],
  [
    16,
    'GAL',
    'DisplayName Phone Office Title Company Alias FirstName LastName HomePhone MobilePhone EmailAddress',
  ],
  [
    17,
    'AirSyncBase',
    'BodyPreference Type TruncationSize AllOrNone - Body Data EstimatedDataSize Truncated Attachments Attachment ' +
      'DisplayName FileReference Method ContentId ContentLocation IsInline NativeBodyType ContentType Preview',
  ],
  [
    18,
    'Settings',
    'Settings Status Get Set Oof OofState StartTime EndTime OofMessage AppliesToInternal AppliesToExternalKnown ' +
      'AppliesToExternalUnknown Enabled ReplyMessage BodyType DevicePassword Password DeviceInformation Model IMEI ' +
      'FriendlyName OS OSLanguage PhoneNumber UserInformation EmailAddresses SMTPAddress UserAgent ' +
      'EnableOutboundSMS MobileOperator PrimarySmtpAddress Accounts Account AccountId AccountName UserDisplayName',
  ],
  [
    20,
    'ItemOperations',
    'ItemOperations Fetch Store Options Range Total Properties Data Status Response Version Schema Part',
  ],
  [
    21,
    'ComposeMail',
    'SendMail SmartForward SmartReply SaveInSentItems ReplaceMime - Source FolderId ItemId LongId InstanceId Mime ' +
      'ClientId Status',
  ],
  [
    22,
    'Email2',
    'UmCallerID UmUserNotes UmAttDuration UmAttOrder ConversationId ConversationIndex LastVerbExecuted ' +
      'LastVerbExecutionTime ReceivedAsBcc Sender CalendarType IsLeapMonth AccountId FirstDayOfWeek ' +
      'MeetingMessageType',
  ],
];

const firstToken = 0x05;

const listed = pages.flatMap(([page, namespace, elements]) =>
  elements
    .split(' ')
    .map((element, at) => ({ page, token: firstToken + at, name: `${namespace}:${element}` })),
);
const known = listed.filter(({ name }) => !name.endsWith(':-'));

const byName = new Map(known.map((entry) => [entry.name, entry]));
const byToken = new Map(known.map(({ page, token, name }) => [(page << 8) | token, name]));

/** Where `name` (`AirSync:Sync`) stands, undefined when it is not in these pages. */
export const tokenOf = (name: string): { readonly page: number; readonly token: number } | undefined =>
  byName.get(name);

/** The name of a token on a page, undefined when there is none. */
export const nameOf = (page: number, token: number): string | undefined => byToken.get((page << 8) | token);
