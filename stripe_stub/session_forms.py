"""What the endpoints of Checkout Sessions accept (https://docs.stripe.com/api/checkout/sessions/create)."""

from stripe_stub import money
from stripe_stub.forms import EXPAND, PAGING, Bool, Email, Enum, Fields, Int, Later, List, Map, Range, Str, Url, later

METHODS = (  # every kind of payment method that Checkout knows; this one offers card and one delayed method
    "acss_debit affirm afterpay_clearpay alipay alma amazon_pay au_becs_debit bacs_debit bancontact billie bizum "
    "blik boleto card cashapp crypto customer_balance eps fpx giropay grabpay ideal kakao_pay klarna konbini "
    "kr_card link mb_way mobilepay multibanco naver_pay nz_bank_account oxxo p24 pay_by_bank payco paynow paypal "
    "paypay payto pix promptpay revolut_pay samsung_pay satispay scalapay sepa_debit sequra sofort sunbit swish "
    "twint upi us_bank_account wechat_pay zip"
).split()
PRODUCT_DATA = Fields(
    {
        "name": Str(),
        "description": Str(),
        "images": List(Url(), 8),
        "metadata": Map(),
        "tax_code": Str(),
        "unit_label": Str(),
        **later("tax_details"),
    },
    need=("name",),
)
PRICE_DATA = Fields(
    {
        "currency": Str(3),
        "product": Later(),
        "product_data": PRODUCT_DATA,
        "recurring": Later(),
        "tax_behavior": Enum(("inclusive", "exclusive", "unspecified")),
        "unit_amount": Int(0, money.MOST),
        "unit_amount_decimal": Later(),
    },
    need=("currency",),
)
LINE_ITEM = Fields(
    {
        "price": Str(),
        "price_data": PRICE_DATA,
        "quantity": Int(1, 999_999),
        "metadata": Map(),
        **later("adjustable_quantity tax_rates"),
    }
)
INTENT_DATA = Fields(
    {
        "capture_method": Enum(("automatic", "automatic_async"), ("manual",)),
        "description": Str(1000),
        "metadata": Map(),
        "receipt_email": Email(),
        "setup_future_usage": Enum(("off_session", "on_session")),
        "statement_descriptor": Str(22),
        "statement_descriptor_suffix": Str(22),
        "transfer_group": Str(),
        **later("application_fee_amount", "on_behalf_of", "shipping", "transfer_data"),
    }
)
CREATE = Fields(
    {
        **EXPAND,
        "mode": Enum(("payment",), ("setup", "subscription")),
        "ui_mode": Enum(("hosted_page",), ("elements", "embedded_page", "form")),
        "line_items": List(LINE_ITEM, 100, 1),
        "success_url": Url(),
        "cancel_url": Url(),
        "client_reference_id": Str(200),
        "metadata": Map(),
        "payment_intent_data": INTENT_DATA,
        "expires_at": Int(0),
        "adaptive_pricing": Fields({"enabled": Bool()}),
        "customer": Str(),
        "customer_email": Email(),
        "customer_creation": Enum(("always", "if_required")),
        "allowed_payment_method_types": List(Enum(tuple(METHODS)), 100, 1),
        "allow_promotion_codes": Bool(),
        "billing_address_collection": Enum(("auto", "required")),
        "currency": Str(3),
        "locale": Str(10),
        "origin_context": Enum(("web", "mobile_app")),
        "phone_number_collection": Fields({"enabled": Bool()}, need=("enabled",)),
        "submit_type": Enum(("auto", "book", "donate", "pay", "subscribe")),
        "automatic_tax": Fields({"enabled": Enum(("false",), ("true",)), **later("liability")}, need=("enabled",)),
        "invoice_creation": Fields(
            {"enabled": Enum(("false",), ("true",)), **later("invoice_data")}, need=("enabled",)
        ),
        "tax_id_collection": Fields({"enabled": Enum(("false",), ("true",)), **later("required")}, need=("enabled",)),
        **later(
            "after_expiration branding_settings consent_collection custom_fields",
            "custom_text",
            "customer_account customer_update discounts excluded_payment_method_types integration_identifier",
            "managed_payments name_collection optional_items payment_method_collection payment_method_configuration",
            "payment_method_data payment_method_options permissions redirect_on_completion return_url",
            "saved_payment_method_options setup_intent_data shipping_address_collection shipping_options",
            "subscription_data wallet_options",
        ),
    },
    need=("mode", "line_items", "success_url"),
)
UPDATE = Fields(
    {
        **EXPAND,
        "metadata": Map(),
        **later("collected_information line_items payment_intent_data shipping_options"),
    }
)
LIST = Fields(
    {
        **PAGING,
        "created": Range(),
        "customer": Str(),
        "customer_details": Fields({"email": Email()}, need=("email",)),
        "payment_intent": Str(),
        "status": Enum(("open", "complete", "expired")),
        **later("customer_account", "payment_link", "subscription"),
    }
)
