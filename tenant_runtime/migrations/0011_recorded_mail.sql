-- Mails of the example tool send_mail where no mail service is set: what would have been sent, once each.
CREATE TABLE recorded_mail (
    id uuid PRIMARY KEY,
    recipient text NOT NULL,
    subject text NOT NULL,
    body text NOT NULL,
    in_reply_to text NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT now()
);
