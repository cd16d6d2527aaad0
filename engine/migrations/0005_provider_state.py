from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    dependencies = [("models", "0004_column_names")]
    initial = False

    operations = [
        ops.AddField(model_name="Message", name="provider_state", field=fields.TextField(null=True)),
        # Of earlier calls it is not known, so the model keeps getting them back masked.
        ops.AddField(model_name="Call", name="holds_secret", field=fields.BooleanField(db_default=True)),
    ]
