from tortoise import fields, migrations
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """Who made a conversation's title: a title that is there already may be a person's, so nobody replaces it."""

    dependencies = [("models", "0001_initial")]
    initial = False
    operations = [
        ops.AddField(model_name="Conversation", name="title_by", field=fields.CharField(max_length=16, null=True)),
    ]
